# The store on a loop of its own, for tests/integration/test_store_*.py.
add_executable(store_driver integration/store_driver.c)
target_link_libraries(store_driver PRIVATE sb_store sb_flags)
set_target_properties(store_driver PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
