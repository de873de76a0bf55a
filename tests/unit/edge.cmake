foreach(part network proxy_header)
	sb_unit_test(test_edge_${part} LIBS sb_edge)
endforeach()
