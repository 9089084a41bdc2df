"""What a browser says it is, in words."""

_BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
_SYSTEMS = {"Windows": "Windows", "iPhone": "iPhone", "iPad": "iPad", "Android": "Android", "Mac OS X": "macOS", "Linux": "Linux"}


def in_words(user_agent: str) -> str:
    """ "Firefox on Windows" of a User-Agent header, as far as it says; the order of the tables is the order of trust."""
    name = next((name for mark, name in _BROWSERS.items() if mark in user_agent), "Unknown browser")
    system = next((system for mark, system in _SYSTEMS.items() if mark in user_agent), "")
    return f"{name} on {system}" if system else name


def icon_of(user_agent: str) -> str:
    """The name of an icon: a phone or a computer."""
    return "device-phone-mobile" if "Mobi" in user_agent else "computer-desktop"
