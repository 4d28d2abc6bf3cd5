from django.db import models


class Region(models.Model):
    slug = models.SlugField()

    def __str__(self) -> str:
        return self.slug


class Customer(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    status = models.CharField(max_length=20, default="new")
    total = models.DecimalField(max_digits=9, decimal_places=2, default=0)
    paid = models.BooleanField(default=False)
    customer = models.ForeignKey(Customer, models.CASCADE)
    region = models.ForeignKey(Region, models.CASCADE)

    def __str__(self) -> str:
        return self.status
