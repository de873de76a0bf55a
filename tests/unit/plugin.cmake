# The plug-in as far as it goes without a server; with one: integration/test_plugin_*.py.
foreach(story session history comeback patience disk)
	sb_unit_test(test_plugin_${story} SOURCES plugin_world.c LIBS sb_plugin)
endforeach()
