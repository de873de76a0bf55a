# Unit tests of libslotbell-protocol. The vectors are read from where they lie.
set(vectors ${CMAKE_SOURCE_DIR}/protocol/vectors)
foreach(module backoff clean cursor event instant link reason token)
	sb_unit_test(test_protocol_${module} LIBS slotbell-protocol)
endforeach()
sb_unit_test(test_protocol_client LIBS slotbell-protocol)
sb_unit_test(test_protocol_server LIBS slotbell-protocol)

# These run out of memory on purpose.
sb_unit_test(test_protocol_text LIBS slotbell-protocol)
target_link_options(test_protocol_text PRIVATE -Wl,--wrap=realloc)
sb_unit_test(test_protocol_memory LIBS slotbell-protocol)
target_link_options(test_protocol_memory PRIVATE -Wl,--wrap=malloc)

# What decodes is written again and compared, here and under the fuzzer.
sb_unit_test(test_protocol_vectors SOURCES ${CMAKE_SOURCE_DIR}/tests/fuzz/again.c LIBS slotbell-protocol)
target_compile_definitions(test_protocol_vectors PRIVATE SB_VECTORS="${vectors}")
