"""A board of orders, and the form that makes one."""

from django.contrib.auth.decorators import login_required
from django.http import JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST
from django_jackfield import publish

from shop.models import Order


@login_required
def board(request):
    """The page that shows orders as they come."""
    return render(request, "board.html")


@login_required
@require_POST
def order(request):
    """Makes an order and tells every open board, once it is committed."""
    made = Order.objects.create(what=request.POST["what"], by=request.user)
    publish("orders:today", {"event": "ordered", "data": {"what": made.what, "by": request.user.username}})
    return JsonResponse({"id": made.pk})
