sb_unit_test(test_edge_proxy_header LIBS sb_edge)
# Memory that fails on request.
sb_unit_test(test_edge_addresses LIBS sb_edge)
target_link_options(test_edge_addresses PRIVATE -Wl,--wrap=malloc,--wrap=calloc)
# Where libwebsockets would come in, nothing does.
foreach(story room guard tokens)
	sb_unit_test(test_edge_${story} SOURCES visitors.c world.c world_check.c world_clients.c LIBS sb_edge)
	target_link_options(test_edge_${story} PRIVATE -Wl,--wrap=sb_connection_adopt)
endforeach()
