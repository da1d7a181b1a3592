# bash completion for mailstead
_mailstead()
{
	local cur=${COMP_WORDS[COMP_CWORD]} words=() word
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		-*) ;;
		*) words+=("$word") ;;
		esac
	done
	local offer
	case ${words[0]:-} in
	"") offer="init run wait status version ban tls domain user alias dkim set get
		settings submit queue mailbox trace check help --state --json" ;;
	domain) offer="add list show set disable enable delete --alias-of --default" ;;
	user) offer="add list show set passwd disable enable delete --name --role
		--quota-bytes --quota-messages" ;;
	alias) offer="add list delete" ;;
	dkim) offer="add list activate retire delete --force" ;;
	settings) offer="list export apply trial keep undo manual" ;;
	set | get) offer=$(mailstead settings list 2>/dev/null | cut -d" " -f1) ;;
	queue) offer="list show retry hold release bounce delete suspend resume
		check --sender --recipient --destination --all" ;;
	mailbox) offer="list show views check repair recount aside back left purge move" ;;
	wait) offer="--for --timeout ready empty" ;;
	check) offer="route domain --ip --user" ;;
	ban) offer="list check lift" ;;
	tls) offer="list install self-signed delete" ;;
	*) offer= ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$offer" -- "$cur")
	[ ${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}
complete -F _mailstead mailstead
