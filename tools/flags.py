"""How ouro's C code is compiled: what setup.py and the tools agree on."""

STANDARD = ["-std=gnu11", "-fvisibility=hidden", "-pthread"]
OPTIMIZE = ["-O2"]
DEBUG = ["-O0", "-g3"]
SANITIZE = ["-O1", "-g", "-fno-omit-frame-pointer",
            "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
RACES = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=thread"]
# The two -Wno- are about CPython's API: methods have a parameter that they may
# not use, and tables of slots leave their tails empty.
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
            "-Wno-missing-field-initializers", "-Wno-cast-function-type"]
