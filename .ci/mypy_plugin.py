"""Tells mypy what our middleware puts on a request and our database backend on a connection.

Reading gives the type behind a door, where the value is there; writing accepts anything.
"""

from collections.abc import Callable

from mypy.nodes import MDEF, SymbolTableNode, TypeInfo, Var
from mypy.plugin import AttributeContext, ClassDefContext, Plugin
from mypy.types import AnyType, Instance, Type, TypeOfAny

REQUEST = "django.http.request.HttpRequest"
CONNECTION = "django.db.backends.base.base.BaseDatabaseWrapper"
PERSON = "agency.models.user.User"

REQUEST_TYPES: dict[str, str] = {
    "user": PERSON,
    "site": "subaccounts.hosts.Site",
    "actor": "kit.actor.Actor",
    "membership": "agency.models.agency.Membership",
    "agency": "agency.models.agency.Agency",
    "assist": "subaccounts.models.sub_account.Assist",
    "auth": "agency.models.api_key.ApiKey",
    "sub_account": "",
    "once": "",
    "capabilities": "",
    "factor_wanted_by": "",
    "role": "builtins.str",
    "htmx": "",
}
CONNECTION_NAMES = ("schema_name", "tenant", "set_tenant", "set_schema_to_public", "looking_at")


class CanopyPlugin(Plugin):
    def get_customize_class_mro_hook(self, fullname: str) -> Callable[[ClassDefContext], None] | None:
        names = {REQUEST: tuple(REQUEST_TYPES), CONNECTION: CONNECTION_NAMES}.get(fullname)
        return None if names is None else lambda context: _declare(context.cls.info, names)

    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        owner, _, name = fullname.rpartition(".")
        if fullname == "subaccounts.hosts.Site.sub_account":  # behind a workspace's door there is one
            return lambda context: _type_of(context, "subaccounts.models.sub_account.SubAccount")
        if not owner.endswith("Request") or name not in REQUEST_TYPES:
            return None
        return lambda context: _type_of(context, REQUEST_TYPES[name])


def _declare(info: TypeInfo, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in info.names:
            variable = Var(name, AnyType(TypeOfAny.explicit))
            variable.info = info
            info.names[name] = SymbolTableNode(MDEF, variable)


def _type_of(context: AttributeContext, wanted: str) -> Type:
    anything = AnyType(TypeOfAny.explicit)
    module, _, name = wanted.rpartition(".")
    # The plugin interface looks names up in the file that is being checked; the checker behind it knows every module.
    modules = getattr(context.api, "modules", {})
    if context.is_lvalue or module not in modules:
        return anything
    symbol = modules[module].names.get(name)
    return Instance(symbol.node, []) if symbol and isinstance(symbol.node, TypeInfo) else anything


def plugin(version: str) -> type[Plugin]:
    return CanopyPlugin
