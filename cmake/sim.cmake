# The simulator's programs, test/sim: they need a build of their own for nothing, and land in bin/ beside the product's.
file(GLOB simulate_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/test/sim/simulate*.c)
add_executable(simulate ${simulate_sources})
target_link_libraries(simulate PRIVATE kvd_allocator kvd_test_lib)

# Judges what clients saw, simulated ones or real ones: test/integration calls it, too.
add_executable(check_history ${CMAKE_SOURCE_DIR}/test/history/check_history.c)
target_link_libraries(check_history PRIVATE kvd_test_lib)
target_compile_definitions(test_kv_history PRIVATE CHECK_HISTORY="$<TARGET_FILE:check_history>")
add_dependencies(test_kv_history check_history)

# The explorer of all states of a small cluster: a library and a program; test/unit/test_explore.c asks whether it sees.
file(GLOB explore_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/test/sim/explore*.c)
list(REMOVE_ITEM explore_sources ${CMAKE_SOURCE_DIR}/test/sim/explore_main.c)
add_library(kvd_explore STATIC ${explore_sources})
target_include_directories(kvd_explore PUBLIC ${CMAKE_SOURCE_DIR}/test)
target_link_libraries(kvd_explore PUBLIC kvd_raft)
add_executable(explore ${CMAKE_SOURCE_DIR}/test/sim/explore_main.c)
set_target_properties(explore PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${test_output})
target_link_libraries(explore PRIVATE kvd_explore)
if(KVD_SIM)
  target_sources(explore PRIVATE ${CMAKE_SOURCE_DIR}/test/sim/mutant_env.c)
endif()
target_link_libraries(test_explore PRIVATE kvd_explore)
if(KVD_SIM)
  add_dependencies(sim_programs simulate kvd)
endif()
