# test/unit/test_X.c is one program each (check), named by the file; test/trace, test/stress and test/bench likewise.
# Everything may be linked: the house's arrows are checked on src/, not on tests.
pkg_check_modules(CHECK REQUIRED IMPORTED_TARGET check)
set(test_output ${CMAKE_BINARY_DIR}/test)
file(GLOB test_lib_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/test/lib/*.c)
add_library(kvd_test_lib STATIC ${test_lib_sources})
target_include_directories(kvd_test_lib PUBLIC ${CMAKE_SOURCE_DIR}/test)
target_link_libraries(kvd_test_lib PUBLIC kvd_pipeline PkgConfig::CHECK)
function(kvd_test_programs folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/test/${folder}/*.c)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${test_output})
    if(folder STREQUAL "bench")
      target_link_libraries(${name} PRIVATE kvd_allocator)
    endif()
    target_link_libraries(${name} PRIVATE kvd_test_lib)
    if(KVD_SIM)
      target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/test/sim/mutant_env.c)
    endif()
    if(NOT folder STREQUAL "bench")
      add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
      set_tests_properties(${name} PROPERTIES LABELS ${folder})
    endif()
  endforeach()
endfunction()
kvd_test_programs(unit)
target_link_libraries(test_tool PRIVATE kvd_tool)
kvd_test_programs(trace)
kvd_test_programs(stress)
kvd_test_programs(bench)

# What the simulator's build is for (preset sim): the programs that simulate --mutants asks whether they see a planted bug.
set(sim_programs test_world test_raft_random test_raft_trace test_raft_paper test_raft_paper_log test_raft_thesis test_raft_edges
    test_raft_members test_raft_quorum test_raft_snapshot test_wal test_wal_crash test_wal_damage test_wal_fault test_wal_head
    test_wal_head_damage test_wal_line test_mvcc_model test_mvcc_paging test_mvcc_tree test_range test_txn test_state_machine test_line
    test_rpc_client test_mvcc_stress test_buggify)
add_custom_target(sim_programs DEPENDS ${sim_programs})
