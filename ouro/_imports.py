"""Does something to a module right after it has been imported.

One finder stands first on sys.meta_path.  It finds nothing itself: for a
name that somebody watches it asks the finders behind it, and has the loader
tell it when the module is ready.
"""

import sys

_watchers = []      # (does the name concern it?, what to do with the module)


def watch(concerns, action):
    """Call action(module) after each later import of a name it concerns."""
    if not _watchers:
        sys.meta_path.insert(0, _finder)
    _watchers.append((concerns, action))


def unwatch(action):
    """Undo watch()."""
    _watchers[:] = [each for each in _watchers if each[1] is not action]
    if not _watchers and _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


class _Finder:
    def find_spec(self, name, path=None, target=None):
        actions = [action for concerns, action in _watchers if concerns(name)]
        if not actions:
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if finder is self or find_spec is None:
                continue
            spec = find_spec(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, actions)
                return spec
        return None


class _Loader:
    """The real loader, which it leaves behind in the module."""

    def __init__(self, loader, actions):
        self._loader = loader
        self._actions = actions

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        for action in self._actions:
            action(module)

    def __getattr__(self, name):
        return getattr(self._loader, name)


_finder = _Finder()
