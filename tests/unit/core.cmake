foreach(story session roles resume failover time drain measure receipts rivals)
	sb_unit_test(test_core_${story} SOURCES world.c world_clients.c LIBS sb_core)
endforeach()
sb_unit_test(test_core_parts LIBS sb_core)
sb_unit_test(test_core_admission LIBS sb_core)
# Memory that fails on request, for core alone: what world.c allocates never fails.
sb_unit_test(test_core_memory SOURCES world.c world_clients.c LIBS sb_core)
target_link_options(test_core_memory PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
target_compile_definitions(test_core_memory PRIVATE WORLD_WRAPS_MEMORY=1)
