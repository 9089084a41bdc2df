"""The ground of the staff's admin: Django's own, on the staff's host only, every page behind the staff's door and every change on the record."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import BadRequest
from django.db import models
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from agency import audit
from agency.doors import staff_door
from agency.models import Agency

Page = Literal["list", "add", "change", "delete"]


class StaffSite(admin.AdminSite):
    """Pages that are listed here or by a `StaffAdmin`, and no other of Django's."""

    site_header = site_title = f"{settings.PLATFORM_NAME} staff"
    index_title = "What would you like to look at?"
    site_url = None
    enable_nav_sidebar = False

    def admin_view(  # type: ignore[override]
        self, view: Callable[..., HttpResponseBase], cacheable: bool = False, *, unaudited: str = ""
    ) -> Callable[..., HttpResponseBase]:
        guarded = csrf_protect(view if cacheable else never_cache(view))
        return staff_door("staff of the platform", unaudited=unaudited)(guarded)

    def get_urls(self) -> list[Any]:
        pages: list[URLPattern | URLResolver] = [
            path("", self.admin_view(self.index), name="index"),
            path("jsi18n/", self.admin_view(self.i18n_javascript), name="jsi18n"),
        ]
        for model, model_admin in self._registry.items():
            pages.append(path(f"{model._meta.app_label}/{model._meta.model_name}/", include(model_admin.urls)))
        pages.append(path("<slug:app_label>/", self.admin_view(self.app_index), name="app_list"))
        return pages


staff = StaffSite()


class StaffAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What staff may see of a model, and with `offers` what they may do to it; whoever asks needs Django's permission besides.

    Adding, changing and deleting leave a record in the audit log, in the same transaction, as `<noun>.added` and so on.
    """

    offers: ClassVar[frozenset[Page]] = frozenset()
    noun: ClassVar[str] = ""
    actions = None
    view_on_site = False
    save_as_continue = False
    show_full_result_count = False
    list_per_page = 50

    def get_urls(self) -> list[URLPattern]:
        return [
            *self.more_urls(),
            self.page("", self.changelist_view, "changelist"),
            *([self.page("add/", self.add_view, "add")] if "add" in self.offers else []),
            *([self.page("<str:object_id>/delete/", self.delete_view, "delete")] if "delete" in self.offers else []),
            self.page("<str:object_id>/change/", self.change_view, "change"),
        ]

    def more_urls(self) -> list[URLPattern]:
        """Pages besides Django's own, made by `page`."""
        return []

    def page(self, route: str, view: Callable[..., HttpResponseBase], name: str, *, unaudited: str = "") -> URLPattern:
        """`view` behind the staff's door, named `admin:<app>_<model>_<name>`."""
        return path(route, staff.admin_view(view, unaudited=unaudited), name=f"{self.opts.app_label}_{self.opts.model_name}_{name}")

    # --- who may

    def has_add_permission(self, request: HttpRequest) -> bool:
        return "add" in self.offers and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return "change" in self.offers and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return "delete" in self.offers and super().has_delete_permission(request, obj)

    # --- what an address asks for

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row with this id and no other: Django would let an address name another field, and fail on one that is none."""
        return None if "\x00" in object_id else super().get_object(request, object_id)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if any("\x00" in value for _, values in request.GET.lists() for value in values):
            raise BadRequest("no row has a NUL in it")
        return super().changelist_view(request, extra_context)

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponseBase:
        """What is not there is not there; Django would lead to its index."""
        raise Http404

    # --- on the record

    def agency_of(self, row: Any) -> Agency | None:
        """In whose audit log a change of `row` stands as well; None for what is the platform's."""
        return None

    def subject_of(self, row: Any) -> str:
        """What a record says it was done to."""
        return str(row)

    def construct_change_message(  # type: ignore[override]
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> dict[str, dict[str, Any]]:
        """What was there before and after, instead of Django's list of field names: it is what `log_addition` and its like get."""
        before = {} if add else {name: plain(form.initial.get(name)) for name in form.changed_data}
        after = {name: plain(form.cleaned_data.get(name)) for name in form.changed_data}
        for formset in formsets:
            for row in formset.forms:
                if row.has_changed():
                    before |= {row.prefix: _initially(row)} if row in formset.initial_forms else {}
                    after |= {row.prefix: _finally(row)} if row not in formset.deleted_forms else {}
        return {"before": before, "after": after}

    def log_addition(self, request: HttpRequest, object: models.Model, message: Any) -> Any:
        return self._record(request, "added", object, **message)

    def log_change(self, request: HttpRequest, object: models.Model, message: Any) -> Any:
        return self._record(request, "changed", object, **message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        return [self._record(request, "deleted", row, before={"was": str(row)}) for row in queryset]

    def _record(
        self,
        request: HttpRequest,
        deed: str,
        row: models.Model,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> Any:
        noun = self.noun or str(self.opts.model_name)
        return audit.record(
            f"{noun}.{deed}", by=request.actor, agency=self.agency_of(row), subject=self.subject_of(row), before=before, after=after
        )


def plain(value: Any) -> Any:
    """A value as JSON can hold it: rows, decimals and ids in words."""
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _initially(form: Any) -> dict[str, Any]:
    return {name: plain(form.initial.get(name)) for name in form._meta.fields}


def _finally(form: Any) -> dict[str, Any]:
    return {name: plain(form.cleaned_data.get(name)) for name in form._meta.fields}
