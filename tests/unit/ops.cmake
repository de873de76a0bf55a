sb_unit_test(test_ops_config LIBS sb_ops)
target_compile_definitions(test_ops_config PRIVATE SHIPPED_FILE="${CMAKE_SOURCE_DIR}/config/slotbelld.conf"
	MAN_PAGE="${CMAKE_SOURCE_DIR}/docs/man/slotbelld.conf.5")
sb_unit_test(test_ops_journal LIBS sb_ops)
sb_unit_test(test_ops_log_sink LIBS sb_ops)
sb_unit_test(test_ops_service LIBS sb_ops)
