# libkvd-client, as others link it: libkvd-client.so over libgrpc.so, libkvd-client.a for who links gRPC himself, the header and the
# pkg-config file. Both are made of the rooms' own objects: position independent, and hidden but for what the header marks.
include(GNUInstallDirs)
foreach(room kvd_base kvd_engine kvd_client)
  set_target_properties(${room} PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
endforeach()
if(KVD_SANITIZE OR KVD_SIM OR CMAKE_C_FLAGS MATCHES "coverage")
  return() # such a build is for tests, which link the rooms
endif()

set(client_rooms kvd_client kvd_engine kvd_base)
set(client_script ${CMAKE_SOURCE_DIR}/cmake/client.map)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/client_empty.c CONTENT "") # not touched when it is there
add_library(kvd-client SHARED ${CMAKE_BINARY_DIR}/client_empty.c)
add_dependencies(kvd-client ${client_rooms})
set_target_properties(kvd-client PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0 LINK_DEPENDS "${client_script}")
target_link_libraries(kvd-client PRIVATE
  -Wl,--whole-archive $<TARGET_FILE:kvd_client> -Wl,--no-whole-archive $<TARGET_FILE:kvd_engine> $<TARGET_FILE:kvd_base>
  PkgConfig::GRPC Threads::Threads)
target_link_options(kvd-client PRIVATE -Wl,--version-script=${client_script} -Wl,--no-undefined -Wl,--gc-sections)

# One object, in which all that is hidden becomes local: an archive of the rooms' objects would show their names to the program.
set(client_archive ${CMAKE_BINARY_DIR}/libkvd-client.a)
add_custom_command(OUTPUT ${client_archive}
  COMMAND ${CMAKE_LINKER} -r -o client_all.o --whole-archive $<TARGET_FILE:kvd_client> --no-whole-archive $<TARGET_FILE:kvd_engine>
          $<TARGET_FILE:kvd_base>
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden client_all.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${client_archive}
  COMMAND ${CMAKE_AR} rcs ${client_archive} client_all.o
  DEPENDS ${client_rooms} WORKING_DIRECTORY ${CMAKE_BINARY_DIR} VERBATIM)
add_custom_target(kvd-client-static ALL DEPENDS ${client_archive})

file(RELATIVE_PATH client_pc_up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /) # wherever it is installed to
configure_file(${CMAKE_SOURCE_DIR}/cmake/kvd-client.pc.in ${CMAKE_BINARY_DIR}/kvd-client.pc @ONLY)
install(TARGETS kvd-client LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development)
install(FILES ${client_archive} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(FILES ${CMAKE_BINARY_DIR}/kvd-client.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
install(FILES ${CMAKE_SOURCE_DIR}/src/client/kvd/client.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/kvd COMPONENT development)
