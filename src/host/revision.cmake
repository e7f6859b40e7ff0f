# SPDX-License-Identifier: Apache-2.0
# The source's git revision as a C++ source, written only when it changes:
#   cmake -DSOURCE=folder -DOUTPUT=file -P revision.cmake
set(revision unknown)  # an unpacked archive, or no git
find_program(GIT git)
if(GIT AND EXISTS ${SOURCE}/.git)  # not that of a repository around it
  execute_process(COMMAND ${GIT} -C ${SOURCE} describe --always --dirty=+changes --abbrev=12 --exclude=*
    OUTPUT_VARIABLE answer OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed AND answer)
    set(revision ${answer})
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT
  "namespace trireme {\nextern const char* const kRevision;\nconst char* const kRevision = \"${revision}\";\n}\n")
