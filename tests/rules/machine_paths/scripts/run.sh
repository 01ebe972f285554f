cd /srv/checkouts/keywright/build # BAD
cd "$HOME"
