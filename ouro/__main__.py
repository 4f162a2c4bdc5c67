"""python -m ouro: run a program as python does, on ouro."""

from ouro._launch import main

main()
