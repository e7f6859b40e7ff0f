# SPDX-License-Identifier: Apache-2.0
# Writes the source's git revision to a C++ source, only when the revision changes:
#   cmake -DSOURCE=folder -DOUTPUT=file -P revision.cmake
set(revision unknown)  # for an unpacked archive, or without git
find_program(GIT git)
if(GIT AND EXISTS ${SOURCE}/.git)  # ignore a repository around the source
  execute_process(COMMAND ${GIT} -C ${SOURCE} describe --always --dirty=+changes --abbrev=12 --exclude=*
    OUTPUT_VARIABLE answer OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed AND answer)
    set(revision ${answer})
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT
  "namespace trireme {\nextern const char* const kRevision;\nconst char* const kRevision = \"${revision}\";\n}\n")
