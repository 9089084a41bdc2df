"""The ways in and out for agency people, on a workspace's host."""

from django.urls import path

from subaccounts.views import entering

urlpatterns = [
    path("hop/", entering.hop_arrive, name="hop_arrive"),
    path("assist/return/", entering.assist_return, name="assist_return"),
]
