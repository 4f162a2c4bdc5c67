"""A wrong call of a function of ouro's says what asyncio's says.

asyncio's are Python functions, so the sentences are those of the Python that
runs.  Two liberties: the name of the class that a method belongs to may be
ouro's own, and a method without parameters may say it as builtins do.
"""

import inspect
import re
import sys

import pairs
import pytest

from ouro import _ouro

FUNCTIONS = list(pairs.functions())
BUILTIN = re.compile(r"takes (no( keyword)? arguments|exactly one argument)")


def calls(signature, method):
    """(args, kwargs): each way to be wrong, for each parameter, and more."""
    parameters = list(signature.parameters.values())[method:]
    names = [p.name for p in parameters
             if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    positional = [p for p in parameters
                  if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    most = len(positional)
    least = sum(p.default is p.empty for p in positional)
    for count in {*range(least), most + 1, most + 3}:
        yield count, {}
        yield count, {"nonsense": 0}
    for name in names:
        for count in {0, least, most, most + 1}:
            yield count, {name: 0}
            yield count, {name[:-1] + "q": 0, "nonsense": 0}
    yield least, {"self": 0}
    yield least, {"sel": 0, "args": 0}


def said(function, *args, **kwargs):
    with pytest.raises(TypeError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def without_class(sentence):
    return re.sub(r"^(\w+\.)*(\w+)\(\)", r"\2()", sentence)


@pytest.mark.parametrize(
    ("stock", "native", "cls"), [entry[1:] for entry in FUNCTIONS],
    ids=[entry[0] for entry in FUNCTIONS])
def test_a_wrong_call(stock, native, cls):
    signature = inspect.signature(stock)
    first = () if cls is None else (pairs.instance(cls),)
    tried = 0
    for count, kwargs in calls(signature, method=cls is not None):
        args = first + (0,) * count
        try:
            signature.bind(*args, **kwargs)
        except TypeError:
            theirs = said(stock, *args, **kwargs)
            ours = said(native, *args, **kwargs)
            tried += 1
            if not BUILTIN.search(ours):
                assert without_class(ours) == without_class(theirs)
    assert tried


def test_without_self():
    assert said(_ouro.Queue.join) == (
        "Queue.join() missing 1 required positional argument: 'self'")
    assert said(_ouro.Queue.join, 1) == (
        "descriptor 'join' for 'Queue' objects doesn't apply to a 'int' "
        "object")


def test_keywords_of_other_kinds():
    """A keyword that is equal to a name, but not the same object."""
    class Name(str):
        pass

    for name in "".join(["de", "lay"]), Name("delay"):
        _ouro.sleep(**{name: 0}).close()
    assert said(_ouro.sleep, **{Name("delayed"): 0}).startswith(
        "sleep() got an unexpected keyword argument 'delayed'")
    assert said(_ouro.sleep, **{"délai": 0}).startswith(
        "sleep() got an unexpected keyword argument 'délai'")
    for function in _ouro.sleep, _ouro.Queue, _ouro.Queue().put:
        with pytest.raises(TypeError, match="^keywords must be strings$"):
            function(**{1: 0})


def test_nothing_runs_in_a_wrong_call():
    """What says the sentence is a Python function that is never entered."""
    seen = []
    sys.setprofile(lambda frame, event, arg: seen.append((frame, event)))
    try:
        _ouro.sleep()
    except TypeError:
        pass
    finally:
        sys.setprofile(None)
    assert not [event for frame, event in seen
                if event == "call" and frame.f_code.co_filename == "<ouro>"]
