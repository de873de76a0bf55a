# slotbellctl with a wall clock of its own, for test_ctl_doctor.py.
add_executable(ctl_clock integration/ctl_clock.c ${CMAKE_SOURCE_DIR}/daemon/ctl/main.c)
target_link_libraries(ctl_clock PRIVATE sb_ctl)
target_link_options(ctl_clock PRIVATE -Wl,--wrap=clock_gettime)
set_target_properties(ctl_clock PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
# What such a daemon has libpq load; without sanitizers, as any stranger's library.
add_library(taken_over_engine MODULE integration/taken_over_engine.c)
target_compile_definitions(taken_over_engine PRIVATE _GNU_SOURCE)
set_target_properties(taken_over_engine PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
# slotbellctl that does not give its rights up, for test_ctl_taken_over.py.
add_executable(ctl_unshed integration/ctl_unshed.c integration/ctl_loading.c ${CMAKE_SOURCE_DIR}/daemon/ctl/main.c)
target_link_libraries(ctl_unshed PRIVATE sb_ctl)
target_link_options(ctl_unshed PRIVATE -Wl,--wrap=sb_shed -Wl,--wrap=sb_doctor_loads_library)
set_target_properties(ctl_unshed PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
# slotbellctl that loads what the daemon names, for the same.
add_executable(ctl_loading integration/ctl_loading.c ${CMAKE_SOURCE_DIR}/daemon/ctl/main.c)
target_link_libraries(ctl_loading PRIVATE sb_ctl)
target_link_options(ctl_loading PRIVATE -Wl,--wrap=sb_doctor_loads_library)
set_target_properties(ctl_loading PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
