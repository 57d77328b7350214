# Completions of skopsfs and skopsfsctl in bash. tests/packaging/test_completions.py holds them
# against --help.

_skopsfs() {
    # What is typed of the last word. Bash may have taken it apart, at '=' for example; $2 is the
    # part that is replaced.
    local line=${COMP_LINE:0:COMP_POINT} before option= words= command=
    local word=${line##*[[:space:]]}
    read -ra before <<<"${line%"$word"}"
    if [[ $word == -*=* ]]; then
        option=${word%%=*}
    elif [[ ${before[-1]} == -* ]]; then
        option=${before[-1]}
    fi
    local value=${word#"$option="}
    if [[ $option == -o ]]; then
        value=${value##*,}
        [[ $value == *=* ]] && option=--${value%%=*} value=${value#*=}
    fi

    local long="--foreground --revalidate= --verify= --decoder-memory= --readahead= --cache=
        --noby-name --others= --user= --sandbox= --worker-timeout= --metrics-address= --handover=
        --debug --help --version"
    case $option in
        -o) words="allow_other allow_root auto_unmount fsname= nonempty noexec ro ${long//--/}" ;;
        --verify) words="passing read" ;;
        --cache) words="drop keep" ;;
        --others) words="show hide" ;;
        --user) words=$(compgen -u) ;;
        --sandbox) words="on off" ;;
        --revalidate | --decoder-memory | --readahead | --worker-timeout | --metrics-address | \
            --handover | --fsname | -j | --jobs) return ;;
        *)
            [[ $word == -*=* ]] && return
            value=$word
            if [[ ${1##*/} == skopsfs ]]; then
                [[ $word == -* ]] && words="-f -o -d -h -V $long"
            else
                [[ " ${before[*]} " =~ " "(status|check|tree|warm)" " ]] && command=${BASH_REMATCH[1]}
                case $command:$word in
                    :-*) words="-h --help -V --version" ;;
                    :*) words="status check tree warm" ;;
                    status:-*) words="-h --help --json --processes --watch" ;;
                    check:-*) words="-h --help -j --jobs= --json" ;;
                    tree:-*) words="-h --help --json" ;;
                    warm:-*) words="-h --help -j --jobs=" ;;
                esac
            fi
            ;;
    esac

    if [[ -n $words ]]; then
        mapfile -t COMPREPLY < <(compgen -P "${word%"$value"}" -W "$words" -- "$value")
        COMPREPLY=("${COMPREPLY[@]#"${word%"$2"}"}")
        [[ $option == -o || ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$2")
    fi
}
complete -F _skopsfs skopsfs skopsfsctl
