# The daemon with a close() that insists, for test_ops_drain.py.
add_executable(slotbelld_strict integration/strict_close.c ${CMAKE_SOURCE_DIR}/daemon/main.c)
target_link_libraries(slotbelld_strict PRIVATE sb_app PkgConfig::SYSTEMD)
target_link_options(slotbelld_strict PRIVATE -Wl,--export-dynamic-symbol=close)
set_target_properties(slotbelld_strict PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
