// The form with the way in sends itself; without scripts its button does.
document.querySelector("form[data-arrive]").requestSubmit();
