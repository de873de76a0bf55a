# The plug-in as far as it goes without a server; with one: integration/test_plugin_*.py.
foreach(story session history comeback patience disk)
	sb_unit_test(test_plugin_${story} SOURCES plugin_world.c LIBS sb_plugin)
endforeach()

# These have a disk that fails, and processes that die, at a chosen call.
function(sb_faulty_test name)
	sb_unit_test(${name} SOURCES faults.c ${ARGN} LIBS sb_plugin)
	target_link_options(${name} PRIVATE
		-Wl,--wrap=openat,--wrap=write,--wrap=fsync,--wrap=close,--wrap=renameat)
endfunction()
sb_unit_test(test_plugin_ical LIBS sb_plugin)
sb_faulty_test(test_plugin_file)
sb_faulty_test(test_plugin_calendar)
sb_faulty_test(test_plugin_state)
