# What programs that embed the library, and vendors of plugins, build against: headers, keywright.pc, and find_package(keywright).

install(FILES include/keywright/base.h include/keywright/connections.h include/keywright/keywright.h include/keywright/plugin.h
        include/keywright/subkeys.h include/keywright/tls.h include/keywright/trust.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/keywright)

# Found from where the file lies, so that `cmake --install --prefix` is right too; an absolute directory stays as it is.
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    set(KW_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
else()
    file(RELATIVE_PATH KW_PC_UP ${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
    string(REGEX REPLACE "/$" "" KW_PC_PREFIX "\${pcfiledir}/${KW_PC_UP}")
endif()
cmake_path(APPEND KW_PC_INCLUDEDIR "\${prefix}" ${CMAKE_INSTALL_INCLUDEDIR})
cmake_path(APPEND KW_PC_LIBDIR "\${prefix}" ${CMAKE_INSTALL_LIBDIR})
cmake_path(APPEND KW_PC_PLUGINDIR "\${prefix}" ${KW_PLUGIN_INSTALL_DIRECTORY})
configure_file(cmake/keywright.pc.in keywright.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/keywright.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

include(CMakePackageConfigHelpers)
set(KW_PACKAGE_DIRECTORY ${CMAKE_INSTALL_LIBDIR}/cmake/keywright)
# In a folder of its own: find_package looks beside the bin/ directories of PATH, and must not find this half.
configure_package_config_file(cmake/keywright-config.cmake.in package/keywright-config.cmake
    INSTALL_DESTINATION ${KW_PACKAGE_DIRECTORY} PATH_VARS KW_PLUGIN_INSTALL_DIRECTORY)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package/keywright-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/package/keywright-config.cmake ${CMAKE_BINARY_DIR}/package/keywright-config-version.cmake
        DESTINATION ${KW_PACKAGE_DIRECTORY})
install(EXPORT keywright NAMESPACE keywright:: FILE keywright-targets.cmake DESTINATION ${KW_PACKAGE_DIRECTORY})

# A drop-in for the units of servers that embed the library; which those are, only their makers know.
install(FILES packaging/systemd/keywright.conf DESTINATION ${CMAKE_INSTALL_DATADIR}/keywright/systemd)
