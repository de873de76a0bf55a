# Daemons that are known to be bad, for the test of the chaos checker: each one
# is the daemon with one function wrapped by the linker, so the daemon's own
# sources know nothing of it.
function(sb_bad_daemon name wrapped)
	add_executable(slotbelld_${name} ${CMAKE_SOURCE_DIR}/daemon/main.c chaos/bad/${name}.c)
	target_link_libraries(slotbelld_${name} PRIVATE sb_app sb_core PkgConfig::SYSTEMD)
	target_link_options(slotbelld_${name} PRIVATE -Wl,--wrap=${wrapped})
	set_target_properties(slotbelld_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endfunction()

sb_bad_daemon(deaf sb_hub_device_state)
sb_bad_daemon(hasty sb_pg_queries_save_ack)
sb_bad_daemon(skipping sb_mailbox_next)
sb_bad_daemon(repeating sb_hub_authenticated)
