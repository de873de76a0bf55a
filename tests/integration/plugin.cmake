# The plug-in with a wall clock that a signal sets, for test_plugin_clock.py.
add_executable(plugin_clock integration/plugin_clock.c ${CMAKE_SOURCE_DIR}/plugin-stub/main.c)
target_link_libraries(plugin_clock PRIVATE sb_plugin sb_flags)
target_link_options(plugin_clock PRIVATE -Wl,--wrap=clock_gettime)
set_target_properties(plugin_clock PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

# The clients' judgement of links, for test_links_agree.py.
add_executable(link_judge integration/link_judge.c)
target_link_libraries(link_judge PRIVATE slotbell-protocol sb_flags)
set_target_properties(link_judge PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

# What a client makes of a message, for test_publish_property.py.
add_executable(event_judge integration/event_judge.c)
target_link_libraries(event_judge PRIVATE sb_plugin slotbell-protocol sb_flags)
set_target_properties(event_judge PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
