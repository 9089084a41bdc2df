"""The pages for what went wrong, in words a person can use."""

import sys

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from kit.refusal import Refusal
from kit.requests import API, OUTAGES, outage, problem


class Broken(Refusal):
    """A mistake of ours, as a program reads it: without a word about what it was."""

    code = "internal_error"
    status = 500
    default_message = "Something went wrong on our side. Nothing was changed; the same request can be sent again."


class NotReadable(Refusal):
    code = "invalid_request"
    default_message = "The request is not as it should be. Nothing was changed."


class Nowhere(Refusal):
    code = "not_found"
    status = 404
    default_message = "There is nothing at this address."


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path_info.startswith(API):
        return problem(NotReadable())
    return render(request, "errors/400.html", status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "errors/403.html", {"explanation": str(exception)}, status=403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "errors/403_csrf.html", status=403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path_info.startswith(API):
        return problem(Nowhere())
    return render(request, "errors/404.html", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """A mistake of ours; or a middleware that found PostgreSQL or Redis away, which is a 503 like in a view."""
    exception = sys.exc_info()[1]
    if isinstance(exception, OUTAGES):
        return outage(request, exception)
    if request.path_info.startswith(API):
        return problem(Broken())
    # Without the request no context processor runs: this page must not need what just broke.
    return HttpResponse(render_to_string("errors/500.html"), status=500)
