"""Views that go wrong, for the tests of what happens then."""

from django.db import connection
from django.db.utils import OperationalError
from django.http import HttpRequest, HttpResponse
from django.urls import path

from config.urls import handler400, handler403, handler404, handler500, urlpatterns  # noqa: F401
from kit import ratelimit
from kit.doors import open_door
from kit.refusal import Refusal


class OutOfStock(Refusal):
    code = "out_of_stock"
    status = 409
    default_message = "There is <none> left. Nothing was changed."


@open_door("a test", unaudited="a test")
def refuse(request: HttpRequest) -> HttpResponse:
    raise OutOfStock


@open_door("a test", unaudited="a test")
def database_away(request: HttpRequest) -> HttpResponse:
    raise OperationalError("connection refused, password=hunter2hunter2")


@open_door("a test", unaudited="a test")
def too_slow(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '50ms'")
        cursor.execute("SELECT pg_sleep(5)")
    return HttpResponse()


@open_door("a test", unaudited="a test")
def limited(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=200 if ratelimit.allow("test", 2, 60) else 429)


@open_door("a test", unaudited="a test")
def opens(request: HttpRequest, token: str) -> HttpResponse:
    return HttpResponse("ok")


urlpatterns = [
    *urlpatterns,
    path("refuse/", refuse),
    path("api/refuse/", refuse),
    path("database-away/", database_away),
    path("too-slow/", too_slow),
    path("limited/", limited),
    path("opens/<str:token>/", opens),
]
