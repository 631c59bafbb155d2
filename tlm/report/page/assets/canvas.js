// What drawings share: colours of the style sheet, a pen for the screen's own pixels, the tip beside the pointer.
"use strict";

// Returns a function that gives a variable of the style sheet as a colour that a canvas understands.
function colourReader(parent) {
  const probe = document.createElement("i");
  return (name) => {
    parent.append(probe);
    probe.style.color = `var(--${name})`;
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  };
}

// Makes a canvas `height` CSS pixels high and as fine as the screen; returns a pen that counts in CSS pixels.
function sizedPen(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  return pen;
}

// Shows lines of text beside the pointer, or hides the tip where there are none.
function showTip(tip, event, lines) {
  tip.hidden = !lines;
  if (!lines) return;
  tip.textContent = lines.join("\n");
  const right = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${scrollX + Math.max(8, Math.min(event.clientX + 14, right))}px`;
  const below = event.clientY + 18;
  const top = below + tip.offsetHeight > innerHeight ? Math.max(8, event.clientY - 12 - tip.offsetHeight) : below;
  tip.style.top = `${scrollY + top}px`;
}
