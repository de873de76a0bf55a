# The store as far as it goes without a server; the rest is integration/test_store_*.py.
sb_unit_test(test_store_batch LIBS sb_store)
sb_unit_test(test_store_pace LIBS sb_store)
sb_unit_test(test_store_wire LIBS sb_store)
sb_unit_test(test_store_url LIBS sb_store)
sb_unit_test(test_store_memory LIBS sb_store)
target_link_options(test_store_memory PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strndup)
