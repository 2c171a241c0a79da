# The simulator's programs, test/sim: they need a build of their own for nothing, and land in bin/ beside the product's.
file(GLOB simulate_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/test/sim/simulate*.c)
add_executable(simulate ${simulate_sources})
target_link_libraries(simulate PRIVATE kvd_allocator kvd_test_lib)
