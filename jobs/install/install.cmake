# SPDX-License-Identifier: Apache-2.0
# Rules for `cmake --install build --prefix P`. Components: program (with manual page and
# completions), analysis, jobs, modulefiles, doc; --component selects one. A function keeps its
# variables local; a target can be extended only in its own folder.
function(trireme_install)
  include(GNUInstallDirs)
  set(share ${CMAKE_INSTALL_DATADIR}/trireme)
  set(made ${CMAKE_BINARY_DIR}/install)
  set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME program)
  file(MAKE_DIRECTORY ${made})

  # The program finds its libraries where they were at link time.
  set_target_properties(trireme PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS trireme RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/inputs DESTINATION ${share}
          FILES_MATCHING PATTERN "*.yml")

  # The program itself prints its options and keys.
  if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
    message(STATUS "No manual page and no completions: the program can't be started here "
                   "(CMAKE_CROSSCOMPILING_EMULATOR may name what starts it)")
  else()
    set(start ${CMAKE_CROSSCOMPILING_EMULATOR} $<TARGET_FILE:trireme>)
    add_custom_command(TARGET trireme POST_BUILD
      COMMAND ${start} --manual > ${made}/trireme.1
      COMMAND ${start} --completion bash > ${made}/trireme
      COMMAND ${start} --completion zsh > ${made}/_trireme
      COMMAND ${start} --completion fish > ${made}/trireme.fish
      COMMENT "Writing manual page and completions" VERBATIM)
    install(FILES ${made}/trireme.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    set(data ${CMAKE_INSTALL_DATADIR})
    install(FILES ${made}/trireme DESTINATION ${data}/bash-completion/completions)
    install(FILES ${made}/_trireme DESTINATION ${data}/zsh/site-functions)
    install(FILES ${made}/trireme.fish DESTINATION ${data}/fish/vendor_completions.d)
  endif()

  # bin/trireme-plot links to the script beside its package, where the script finds the package.
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/analysis DESTINATION ${share} COMPONENT analysis
          USE_SOURCE_PERMISSIONS PATTERN __pycache__ EXCLUDE PATTERN "*.png" EXCLUDE)
  file(RELATIVE_PATH plot ${CMAKE_INSTALL_FULL_BINDIR}
       ${CMAKE_INSTALL_FULL_DATADIR}/trireme/analysis/trireme-plot)
  file(CREATE_LINK ${plot} ${made}/trireme-plot SYMBOLIC)
  install(PROGRAMS ${made}/trireme-plot DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT analysis)

  # The package prints its manual page, which therefore requires the package's dependencies.
  find_package(Python3 QUIET COMPONENTS Interpreter)
  if(Python3_Interpreter_FOUND)
    execute_process(COMMAND ${Python3_EXECUTABLE} -c "import h5py, numpy, matplotlib"
                    RESULT_VARIABLE no_packages OUTPUT_QUIET ERROR_QUIET)
  endif()
  file(REMOVE ${made}/python.txt)
  if(Python3_Interpreter_FOUND AND NOT no_packages)
    # trireme-plot starts this Python where the user's own lacks a package.
    file(WRITE ${made}/python.txt "${Python3_EXECUTABLE}\n")
    install(FILES ${made}/python.txt DESTINATION ${share}/analysis COMPONENT analysis)
    file(GLOB_RECURSE package CONFIGURE_DEPENDS
         ${CMAKE_SOURCE_DIR}/analysis/trireme_analysis/*.py)
    add_custom_command(OUTPUT ${made}/trireme-plot.1
      COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/jobs/install/plot_manual.py
              --analysis ${CMAKE_SOURCE_DIR}/analysis --version ${PROJECT_VERSION}
              --date ${TRIREME_DATE} --output ${made}/trireme-plot.1
      DEPENDS ${package} ${CMAKE_SOURCE_DIR}/jobs/install/plot_manual.py
      COMMENT "Writing manual page of trireme-plot" VERBATIM)
    add_custom_target(trireme_plot_manual DEPENDS ${made}/trireme-plot.1)
    add_dependencies(trireme trireme_plot_manual)
    install(FILES ${made}/trireme-plot.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
            COMPONENT analysis)
  else()
    message(STATUS "No manual page of trireme-plot: that takes a Python 3 with h5py, NumPy "
                   "and Matplotlib")
  endif()

  install(DIRECTORY ${CMAKE_SOURCE_DIR}/jobs DESTINATION ${share} COMPONENT jobs
          USE_SOURCE_PERMISSIONS PATTERN install EXCLUDE PATTERN __pycache__ EXCLUDE)
  install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/LICENSE
          DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/trireme COMPONENT doc)
  # Pages keep their folders, so that links between them hold. Containers have no test/.
  foreach(page analysis/README.md analysis/gallery/overview.svg inputs/README.md jobs/README.md
               jobs/packaging.md jobs/contrib/README.md src/README.md src/checkpoint/README.md
               src/backend/cuda/README.md test/README.md test/bench/README.md)
    if(EXISTS ${CMAKE_SOURCE_DIR}/${page})
      get_filename_component(folder ${page} DIRECTORY)
      install(FILES ${CMAKE_SOURCE_DIR}/${page}
              DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/trireme/${folder} COMPONENT doc)
    endif()
  endforeach()

  # The module files name the prefix, which is known only when they are installed.
  set(module ${CMAKE_INSTALL_DATADIR}/modulefiles/trireme/${PROJECT_VERSION})
  set(templates ${CMAKE_SOURCE_DIR}/jobs/modulefiles)
  install(CODE "
    get_filename_component(prefix \"\${CMAKE_INSTALL_PREFIX}\" ABSOLUTE)
    set(version ${PROJECT_VERSION})
    set(bin \"\${prefix}/${CMAKE_INSTALL_BINDIR}\")
    set(man \"\${prefix}/${CMAKE_INSTALL_MANDIR}\")
    set(data \"\${prefix}/${CMAKE_INSTALL_DATADIR}\")
    foreach(pair \"trireme.lua.in|.lua\" \"trireme.tcl.in|\")
      string(REGEX REPLACE \"\\\\|.*\" \"\" template \"\${pair}\")
      string(REGEX REPLACE \".*\\\\|\" \"\" suffix \"\${pair}\")
      set(file \"\${prefix}/${module}\${suffix}\")
      configure_file(\"${templates}/\${template}\" \"\$ENV{DESTDIR}\${file}\" @ONLY)
      message(STATUS \"Installing: \$ENV{DESTDIR}\${file}\")
      list(APPEND CMAKE_INSTALL_MANIFEST_FILES \"\${file}\")
    endforeach()
  " COMPONENT modulefiles)
endfunction()
trireme_install()
