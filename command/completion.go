package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"ticketproxy/hint"
)

// Completion prints the completion script of a shell.
func Completion(_ context.Context, env *Env, args []string) error {
	scripts := map[string]func(io.Writer){"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	if len(args) == 1 && scripts[args[0]] != nil {
		scripts[args[0]](env.Stdout)
		return nil
	}
	return hint.Usage(errors.New("completion needs the name of a shell"),
		"ticketproxy completion bash, zsh or fish; in bash: source <(ticketproxy completion bash)")
}

// words returns what may follow each verb. The flags are those that the verb declares.
func words() map[string]string {
	return map[string]string{
		"check":      "--caller --upstream",
		"demo":       "--once",
		"sandbox":    "env --listen --access-lifetime --rotate --reuse-detection --grace",
		"login":      "--callback-port --redirect-uri --no-browser --username --refresh-token-file --timeout",
		"status":     "--json",
		"wait":       "--timeout",
		"token":      "--min --output --url --key-file --ca-file",
		"completion": "bash zsh fish",
		"help":       "env",
	}
}

func verbNames() string {
	var names []string
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	return strings.Join(names, " ")
}

// wordCases writes the words after each verb as the cases of a shell's case statement.
func wordCases(w io.Writer, variable string) {
	for _, v := range verbs() {
		if words()[v.name] != "" {
			fmt.Fprintf(w, "    %s) %s='%s' ;;\n", v.name, variable, words()[v.name])
		}
	}
}

func bashCompletion(w io.Writer) {
	fmt.Fprint(w, "_ticketproxy() {\n  local candidates=\n  case ${COMP_WORDS[1]} in\n")
	wordCases(w, "candidates")
	fmt.Fprintf(w, `  esac
  ((COMP_CWORD > 1)) || candidates='%s'
  COMPREPLY=($(compgen -W "$candidates" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _ticketproxy ticketproxy
`, verbNames())
}

func zshCompletion(w io.Writer) {
	fmt.Fprint(w, "#compdef ticketproxy\n_ticketproxy() {\n  local candidates=\n  case $words[2] in\n")
	wordCases(w, "candidates")
	fmt.Fprintf(w, `  esac
  ((CURRENT > 2)) || candidates='%s'
  compadd -- ${=candidates}
}
compdef _ticketproxy ticketproxy
`, verbNames())
}

func fishCompletion(w io.Writer) {
	for _, v := range verbs() {
		fmt.Fprintf(w, "complete -c ticketproxy -n __fish_use_subcommand -f -a %s -d '%s'\n",
			v.name, strings.ReplaceAll(v.does, "'", `\'`))
		if words()[v.name] != "" {
			fmt.Fprintf(w, "complete -c ticketproxy -n '__fish_seen_subcommand_from %s' -f -a '%s'\n", v.name, words()[v.name])
		}
	}
}
