# Manual pages and completions, written by the programs themselves when they are linked: what they say cannot be old.
set(manual_out ${CMAKE_BINARY_DIR}/manual)
file(MAKE_DIRECTORY ${manual_out})
add_custom_command(TARGET kvctl POST_BUILD
  COMMAND kvctl man > ${manual_out}/kvctl.1
  COMMAND gzip -9nkf ${manual_out}/kvctl.1
  COMMAND kvctl completion bash > ${manual_out}/kvctl.bash
  COMMAND kvctl completion zsh > ${manual_out}/_kvctl
  COMMAND kvctl completion fish > ${manual_out}/kvctl.fish VERBATIM)
add_custom_command(TARGET kvbench POST_BUILD
  COMMAND kvbench man > ${manual_out}/kvbench.1
  COMMAND gzip -9nkf ${manual_out}/kvbench.1
  COMMAND kvbench completion bash > ${manual_out}/kvbench.bash
  COMMAND kvbench completion fish > ${manual_out}/kvbench.fish VERBATIM)
add_custom_command(TARGET kvd POST_BUILD COMMAND kvd --print man > ${manual_out}/kvd.8 COMMAND gzip -9nkf ${manual_out}/kvd.8 VERBATIM)
install(FILES ${manual_out}/kvd.8.gz DESTINATION share/man/man8 COMPONENT server)
install(FILES ${manual_out}/kvbench.1.gz DESTINATION share/man/man1 COMPONENT client)
install(FILES ${manual_out}/kvctl.1.gz DESTINATION share/man/man1 COMPONENT client)
install(FILES ${manual_out}/kvbench.bash DESTINATION share/bash-completion/completions RENAME kvbench COMPONENT client)
install(FILES ${manual_out}/kvbench.fish DESTINATION share/fish/vendor_completions.d COMPONENT client)
install(FILES ${manual_out}/kvctl.bash DESTINATION share/bash-completion/completions RENAME kvctl COMPONENT client)
install(FILES ${manual_out}/_kvctl DESTINATION share/zsh/vendor-completions COMPONENT client)
install(FILES ${manual_out}/kvctl.fish DESTINATION share/fish/vendor_completions.d COMPONENT client)
foreach(name ${kvd_tools}) # their help is made from their flags, and their page from their help
  add_custom_command(TARGET ${name} POST_BUILD
    COMMAND ${name} --help | awk -f ${CMAKE_SOURCE_DIR}/cmake/help_to_man.awk > ${manual_out}/${name}.1 COMMAND gzip -9nkf ${manual_out}/${name}.1 VERBATIM)
  install(FILES ${manual_out}/${name}.1.gz DESTINATION share/man/man1 COMPONENT server)
endforeach()
