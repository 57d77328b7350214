# Runs when skopsfs is installed, after everything else: what goes to other places, or says something
# else, according to where it is installed. `source` is the repository.

set(to "${CMAKE_INSTALL_PREFIX}")
if(to STREQUAL "/usr")  # as Debian has it
  set(python lib/python3/dist-packages)
  set(zsh share/zsh/vendor-completions)
else()
  set(zsh share/zsh/site-functions)
  # Where Python looks for modules below that prefix, if it does.
  execute_process(
    COMMAND python3 -c "import sys; print(next(p[len(sys.argv[1]) + 1:] for p in sys.path if p.startswith(sys.argv[1] + '/') and p.endswith('-packages')))" "${to}"
    OUTPUT_VARIABLE python OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed)
    set(python lib/python3/dist-packages)
  endif()
  file(INSTALL DESTINATION "${to}/share/doc/skopsfs" TYPE FILE FILES "${source}/LICENSE")
endif()

file(INSTALL DESTINATION "${to}/${zsh}" TYPE FILE
     FILES "${source}/packaging/completions/_skopsfs")
file(INSTALL DESTINATION "${to}/${python}" TYPE DIRECTORY FILES "${source}/src/python/skopsfs"
     PATTERN __pycache__ EXCLUDE)

# Straight to its place, since two installations may run at the same time.
file(INSTALL DESTINATION "${to}/lib/systemd/system" TYPE FILE
     FILES "${source}/packaging/systemd/skopsfs@.service")
configure_file("${source}/packaging/systemd/skopsfs@.service"
               "$ENV{DESTDIR}${to}/lib/systemd/system/skopsfs@.service" @ONLY
               FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
file(INSTALL DESTINATION "${to}/libexec/skopsfs" TYPE PROGRAM
     FILES "${source}/packaging/systemd/detach_dead_mount"
           "${source}/packaging/systemd/leave_to_next_start")
