# The plug-in as far as it goes without a server; with one: integration/test_plugin_*.py.
foreach(story session history comeback pace patience disk)
	sb_unit_test(test_plugin_${story} SOURCES plugin_world.c LIBS sb_plugin)
endforeach()

# These have a disk that fails, and processes that die, at a chosen call.
function(sb_faulty_test name)
	sb_unit_test(${name} SOURCES faults.c ${ARGN} LIBS sb_plugin)
	target_link_options(${name} PRIVATE
		-Wl,--wrap=openat,--wrap=write,--wrap=fsync,--wrap=close,--wrap=renameat)
endfunction()
foreach(part choice http_answer ical ical_hostile parts report sse url)
	sb_unit_test(test_plugin_${part} LIBS sb_plugin)
endforeach()
sb_faulty_test(test_plugin_file)
sb_faulty_test(test_plugin_calendar)
sb_faulty_test(test_plugin_state)
sb_faulty_test(test_plugin_planted)
sb_faulty_test(test_plugin_options) # for its folders
sb_faulty_test(test_plugin_crash plugin_whole.c)
# And this one no memory.
sb_faulty_test(test_plugin_memory plugin_whole.c)
target_link_options(test_plugin_memory PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup)
