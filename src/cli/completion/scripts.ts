/** The scripts by which bash, zsh and fish ask `fluxmq __complete` for candidates at the cursor. */

/** bash splits words at `=` and `:`. The script joins the parts again, and completes only the text behind the last split. */
const BASH = `# completion of fluxmq for bash: source it, or save it as ~/.local/share/bash-completion/completions/fluxmq
_fluxmq() {
  local line word glued= i program=\${COMP_WORDS[0]/#\\~/$HOME}
  local -a words=()
  # the words as typed: bash has cut them at = and :
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ \${#words[@]} -gt 0 && ( $word == [=:]* || $glued == *[=:] ) ]] && _fluxmq_touches "$i"; then
      words[\${#words[@]}-1]+=$word
    else
      words+=("$word")
    fi
    glued=$word
  done
  [[ \${#words[@]} -gt 0 ]] || words=('')
  local current=\${words[\${#words[@]}-1]} cut=
  if [[ $current == *[=:]* && $COMP_WORDBREAKS == *=* ]]; then cut=\${current%"\${current##*[=:]}"}; fi
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :file) compopt -o filenames 2>/dev/null; mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "\${current#"$cut"}") ;;
      *)
        line=\${line%%$'\\t'*}
        [[ $line == *= ]] && compopt -o nospace 2>/dev/null
        COMPREPLY+=("\${line#"$cut"}")
        ;;
    esac
  done < <("$program" __complete "\${words[@]}" 2>/dev/null)
}

# whether word number $1 follows the one before it without a space
_fluxmq_touches() {
  local rest=\${COMP_LINE} i
  for ((i = 0; i < $1; i++)); do
    rest=\${rest#"\${rest%%[! ]*}"}
    rest=\${rest#"\${COMP_WORDS[i]}"}
  done
  [[ $rest != ' '* ]]
}
complete -F _fluxmq fluxmq
`;

const ZSH = `#compdef fluxmq
# completion of fluxmq for zsh: save it as _fluxmq in a folder of $fpath
_fluxmq() {
  local line value text
  local -a plain open
  for line in "\${(@f)$("\${(Q)words[1]/#\\~/$HOME}" __complete "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] || continue
    if [[ $line == :file ]]; then compset -P '--*='; _files; continue; fi
    value=\${line%%$'\\t'*}
    text=\${line#*$'\\t'}
    [[ $text == $line ]] && text=
    if [[ $value == *= ]]; then open+=("$value"); else plain+=("\${value//:/\\\\:}\${text:+:$text}"); fi
  done
  (( \${#plain} )) && _describe -t values fluxmq plain
  (( \${#open} )) && compadd -S '' -- $open
}
if [[ \${funcstack[1]} == _fluxmq ]]; then _fluxmq "$@"; else compdef _fluxmq fluxmq; fi
`;

const FISH = `# completion of fluxmq for fish: save it as ~/.config/fish/completions/fluxmq.fish
function __fluxmq_complete
    set -l words (commandline -opc)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -l token (commandline -ct)
    set -l option (string match -r '^--[^=]*=' -- $token)
    for line in ($program __complete $words[2..-1] "$token" 2>/dev/null)
        if test "$line" = ':file'
            for path in (__fish_complete_path (string replace -- "$option" '' "$token"))
                echo "$option$path"
            end
        else
            echo $line
        end
    end
end
complete -c fluxmq -f -a '(__fluxmq_complete)'
`;

/** Scripts by the name of the shell. */
export const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
