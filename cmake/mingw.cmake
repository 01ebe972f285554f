# Toolchain: Windows (x86_64), by mingw-w64, with the libraries that scripts/build-windows-libraries.sh has built. Programs run on Wine.

set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix) # "posix": with POSIX's threads, which the core is written with
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)

# As the script says where they are.
if(DEFINED ENV{KW_WINDOWS_LIBRARIES})
    set(KW_WINDOWS_PREFIX $ENV{KW_WINDOWS_LIBRARIES}/prefix)
elseif(DEFINED ENV{XDG_CACHE_HOME})
    set(KW_WINDOWS_PREFIX $ENV{XDG_CACHE_HOME}/keywright/windows-libraries/prefix)
else()
    set(KW_WINDOWS_PREFIX $ENV{HOME}/.cache/keywright/windows-libraries/prefix)
endif()
set(KW_MINGW_PREFIX /usr/x86_64-w64-mingw32)

set(CMAKE_FIND_ROOT_PATH ${KW_WINDOWS_PREFIX} ${KW_MINGW_PREFIX})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(OPENSSL_ROOT_DIR ${KW_WINDOWS_PREFIX})
# Nothing of this system's own; all but OpenSSL is linked statically.
set(ENV{PKG_CONFIG_LIBDIR} ${KW_WINDOWS_PREFIX}/lib/pkgconfig)
set(PKG_CONFIG_ARGN --static)

set(CMAKE_CROSSCOMPILING_EMULATOR ${CMAKE_CURRENT_LIST_DIR}/../scripts/wine.sh)
