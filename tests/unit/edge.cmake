sb_unit_test(test_edge_proxy_header LIBS sb_door)
# Memory that fails on request.
sb_unit_test(test_edge_addresses LIBS sb_door)
target_link_options(test_edge_addresses PRIVATE -Wl,--wrap=malloc,--wrap=calloc)
foreach(story room guard tokens)
	sb_unit_test(test_edge_${story} SOURCES visitors.c world.c world_check.c world_clients.c LIBS sb_door)
endforeach()
# Nothing but bytes here.
foreach(story reader reader_values)
	sb_unit_test(test_edge_${story} SOURCES heads.c LIBS sb_edge)
endforeach()
# Memory that is watched, and fails on request.
foreach(story receiver receiver_text receiver_memory)
	sb_unit_test(test_edge_${story} SOURCES receiver_feed.c LIBS sb_edge)
	target_link_options(test_edge_${story} PRIVATE -Wl,--wrap=malloc,--wrap=free)
endforeach()
