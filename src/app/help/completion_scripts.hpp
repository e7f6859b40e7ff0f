// SPDX-License-Identifier: Apache-2.0
// The fixed parts of the completion scripts. Each @NAME@ is filled in.
#pragma once

namespace trireme {

/// @values@: values of options; @options@, @positionals@: a command's arguments; @choices@:
/// values of a key.
inline constexpr const char* kBashScript = R"script(# bash completion of trireme
# Made by: trireme --completion bash
_trireme() {
  local cur=${COMP_WORDS[COMP_CWORD]} last=$((COMP_CWORD - 1))
  local command='' previous key='' prefix='' kind='' words='' i
  local commands=@commands@
  local keys=@keys@
  COMPREPLY=()
  # readline cuts words at "=": norm=la is three of them.
  if [[ $cur == '=' ]]; then
    key=${COMP_WORDS[last]} cur='' last=$((last - 1))
  elif [[ $last -gt 1 && ${COMP_WORDS[last]} == '=' ]]; then
    key=${COMP_WORDS[last - 1]} last=$((last - 2))
  elif [[ $cur == *=* ]]; then
    key=${cur%%=*} prefix=$key= cur=${cur#*=}
  fi
  previous=${COMP_WORDS[last]}
  [[ $previous != '=' ]] || previous=${COMP_WORDS[last - 1]}
  [[ $key != --* ]] || { previous=$key; key=''; }
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ " $commands " == *" ${COMP_WORDS[i]} "* ]]; then
      command=${COMP_WORDS[i]}
      break
    fi
  done
  case "$command $previous" in
@values@    *)
      if [[ $cur == -* ]]; then
        case $command in
@options@        esac
      elif [[ -z $command ]]; then
        words=$commands
      else
        case $command in
@positionals@        esac
      fi
      ;;
  esac
  if [[ $kind == setting ]]; then
    if [[ -z $key ]]; then
      compopt -o nospace 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -W "$keys" -S = -- "$cur")
      return
    fi
    case ${key//-/_} in
@choices@    esac
  fi
  case $kind in
    file) ;;  # by readline itself, as wherever nothing is offered
    folder | deck)
      [[ $cur != [\"\']* ]] || return 0
      cur=${cur//\\/}
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$cur"
        [[ $kind == folder ]] || for i in yml yaml json; do
          compgen -f -X "!*.$i" -- "$cur"
        done)
      ;;
    *)
      mapfile -t COMPREPLY < <(compgen -P "$prefix" -W "$words" -- "$cur")
      ;;
  esac
}
complete -o default -F _trireme trireme
)script";

inline constexpr const char* kZshScript = R"script(#compdef trireme
# zsh completion of trireme
# Made by: trireme --completion zsh
_trireme_setting() {
  _values 'deck key' \
@keys@    && return 0
}

_trireme_key() {
  compadd -- @paths@
}

_trireme() {
  local curcontext=$curcontext state line
  typeset -A opt_args
  local -a commands=(
@commands@  )
  _arguments -C \
@general@        '1:command:->command' '*::argument:->argument' && return 0
  case $state in
    command) _describe command commands && return 0 ;;
    argument)
      case $line[1] in
@cases@      esac
      ;;
  esac
  return 1
}

# Loaded by compinit this file is the function's body; sourced, it tells where it belongs.
if [[ $funcstack[1] == _trireme ]]; then
  _trireme "$@"
else
  compdef _trireme trireme
fi
)script";

inline constexpr const char* kFishScript = R"script(# fish completion of trireme
# Made by: trireme --completion fish
function __trireme_settings
    printf '%s\t%s\n' \
@settings@
end

function __trireme_keys
    __trireme_settings | string replace -r '=[^\t]*' '' | sort -u
end

@lines@)script";

}  // namespace trireme
