# The plug-in with a wall clock that a signal sets, for test_plugin_clock.py.
add_executable(plugin_clock integration/plugin_clock.c ${CMAKE_SOURCE_DIR}/plugin-stub/main.c)
target_link_libraries(plugin_clock PRIVATE sb_plugin sb_flags)
target_link_options(plugin_clock PRIVATE -Wl,--wrap=clock_gettime)
set_target_properties(plugin_clock PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
