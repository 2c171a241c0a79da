# What is installed, and `make package`: Debian packages by cpack, made again when something of them has changed.
#
#   component     package             holds
#   server        kvd                 the member, the tools that read its disk, units, default settings, documents
#   client        kvctl               the command, and kvbench
#   library       libkvd-client0      the shared client library
#   development   libkvd-client-dev   its header, pkg-config file and static library
#
# A rule install(... COMPONENT name) of another file joins the package of its component; cmake --install takes the same rules.
set(package_version ${PROJECT_VERSION})
set(package_maintainer "The kvd authors <kvd@kvd.invalid>")
set(package_out ${CMAKE_BINARY_DIR}/packaging)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON) # else an installation builds a hundred test programs first

install(TARGETS kvd ${kvd_tools} RUNTIME DESTINATION bin COMPONENT server)
install(TARGETS kvctl kvbench RUNTIME DESTINATION bin COMPONENT client)

# Units name the program where the package has it.
file(GLOB units CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/scripts/systemd/*.service)
foreach(unit ${units})
  get_filename_component(name ${unit} NAME)
  file(READ ${unit} text)
  string(REPLACE "/usr/local/bin/" "/usr/bin/" text "${text}")
  file(GENERATE OUTPUT ${package_out}/${name} CONTENT "${text}")
  install(FILES ${package_out}/${name} DESTINATION lib/systemd/system COMPONENT server)
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/scripts/systemd/kvd.sysusers DESTINATION lib/sysusers.d RENAME kvd.conf COMPONENT server)
install(FILES ${CMAKE_SOURCE_DIR}/scripts/systemd/kvd.tmpfiles DESTINATION lib/tmpfiles.d RENAME kvd.conf COMPONENT server)
install(FILES ${CMAKE_SOURCE_DIR}/scripts/systemd/kvd.env DESTINATION /etc/kvd COMPONENT server)
install(FILES ${CMAKE_SOURCE_DIR}/config.example.env DESTINATION /etc/kvd RENAME config.env COMPONENT server)
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/ARCHITECTURE.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md DESTINATION share/doc/kvd COMPONENT server)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs DESTINATION share/doc/kvd COMPONENT server)
# Debian's changelog has one entry, dated as ours, which it points to.
file(TIMESTAMP ${CMAKE_SOURCE_DIR}/CHANGELOG.md changed "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE ${package_out}/changelog "kvd (${package_version}) unstable; urgency=medium

  * What changed: CHANGELOG.md in the documents of the package kvd.

 -- ${package_maintainer}  ${changed}
")
execute_process(COMMAND gzip -9nf ${package_out}/changelog COMMAND_ERROR_IS_FATAL ANY)
foreach(pair server:kvd client:kvctl library:libkvd-client0 development:libkvd-client-dev)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 component)
  list(GET pair 1 package)
  install(FILES ${CMAKE_SOURCE_DIR}/scripts/debian/copyright ${package_out}/changelog.gz DESTINATION share/doc/${package} COMPONENT ${component})
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VERSION ${package_version})
set(CPACK_PACKAGE_CONTACT ${package_maintainer})
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/package)
set(CPACK_SET_DESTDIR ON) # /etc is not below /usr
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL server client library development)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip) # xz takes a megabyte less and seconds more
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)

set(CPACK_DEBIAN_SERVER_PACKAGE_NAME kvd)
set(CPACK_DEBIAN_SERVER_PACKAGE_SECTION database)
set(CPACK_COMPONENT_SERVER_DESCRIPTION "distributed key-value store that speaks etcd's v3 API
One member of a cluster that replicates its keys by Raft, with the programs
that read what a member left on disk.")
set(CPACK_DEBIAN_SERVER_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers")
set(CPACK_DEBIAN_SERVER_PACKAGE_RECOMMENDS kvctl)
set(CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/scripts/debian/postinst ${CMAKE_SOURCE_DIR}/scripts/debian/prerm
    ${CMAKE_SOURCE_DIR}/scripts/debian/postrm ${CMAKE_SOURCE_DIR}/scripts/debian/conffiles)

set(CPACK_DEBIAN_CLIENT_PACKAGE_NAME kvctl)
set(CPACK_DEBIAN_CLIENT_PACKAGE_SECTION database)
set(CPACK_COMPONENT_CLIENT_DESCRIPTION "command line of kvd, for any server of etcd's v3 API
Reads, writes, watches, locks and backs up a kvd or etcd cluster; kvbench
measures one.")

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libkvd-client0)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/scripts/debian/triggers)
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "client of kvd, and of any server of etcd's v3 API, for C
The shared library.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libkvd-client-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libkvd-client0 (= ${package_version})")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "client of kvd for C: what programs are built with
The header, the pkg-config file and the static library of libkvd-client.")
include(CPack)

file(GLOB package_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/*.md ${CMAKE_SOURCE_DIR}/scripts/debian/* ${CMAKE_SOURCE_DIR}/scripts/systemd/*
     ${CMAKE_SOURCE_DIR}/src/client/kvd/*.h)
list(APPEND package_files ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/ARCHITECTURE.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md
     ${CMAKE_SOURCE_DIR}/config.example.env ${CMAKE_SOURCE_DIR}/cmake/package.cmake ${CMAKE_SOURCE_DIR}/cmake/kvd-client.pc.in)
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/package/made
  COMMAND ${CMAKE_CPACK_COMMAND} --config ${CMAKE_BINARY_DIR}/CPackConfig.cmake
  COMMAND ${CMAKE_COMMAND} -E touch ${CMAKE_BINARY_DIR}/package/made
  DEPENDS kvd kvctl kvbench ${kvd_tools} kvd-client kvd-client-static ${package_files}
  WORKING_DIRECTORY ${CMAKE_BINARY_DIR} COMMENT "Debian packages" VERBATIM)
add_custom_target(packages DEPENDS ${CMAKE_BINARY_DIR}/package/made)
