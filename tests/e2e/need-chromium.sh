#!/bin/sh
# The browser tests drive Debian's Chromium. It is installed here where it is missing and that is allowed;
# otherwise those tests are skipped, and say so.
set -eu
if command -v chromium >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing chromium for the browser tests"
    if { apt-get install -y --no-install-recommends chromium ||
         { apt-get update && apt-get install -y --no-install-recommends chromium; }; } >/dev/null 2>&1; then
        exit 0
    fi
fi
echo "chromium is not installed, so the browser tests will be skipped: apt-get install chromium"
