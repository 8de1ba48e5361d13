# shellcheck shell=bash
# What check and quickstart share: installing what is missing of the packages list, and building.
# Sourced from the top of the repository.

packages_of() { awk -v group="$1" '$1 == group { print $2 }' packages; }

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Prints those packages of a group that are missing, on one line.
missing_of() {
    local package
    for package in $(packages_of "$1"); do
        is_installed "$package" || printf '%s ' "$package"
    done
}

# install_packages GROUP...: exits with 3 where it may not install.
install_packages() {
    if ! command -v dpkg-query >/dev/null; then
        echo "No Debian packages here; the list of what is needed is in ./packages."
        return
    fi
    local group missing all="" as_root=""
    for group in "$@"; do
        missing=$(missing_of "$group")
        [ -z "$missing" ] || echo "Missing packages ($group): $missing"
        all+=$missing
    done
    if [ -z "$all" ]; then
        echo "Nothing to install."
        return
    fi
    local install="apt-get install -y --no-install-recommends $all"
    if [ "$(id -u)" -ne 0 ]; then
        as_root=sudo
        if ! sudo -n true 2>/dev/null; then
            echo "Installing them needs root. Run this, then start again:"
            echo "  sudo apt-get update && sudo $install"
            exit 3
        fi
    fi
    echo "Installing them: $install"
    $as_root apt-get update -q
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive $install
}

# configure FOLDER MESON-OPTION...: once; ninja does it again where it has to.
configure() {
    local folder=$1 words
    shift
    [ ! -f "$folder/build.ninja" ] || return 0
    words=$(meson setup "$folder" "$@" 2>&1) || { echo "$words" && return 1; }
}

# compile FOLDER [TARGET...]: with ninja's counter where somebody watches.
compile() {
    local folder=$1 quiet=--quiet
    shift
    [ ! -t 1 ] || quiet=
    ninja $quiet -C "$folder" "$@"
}
