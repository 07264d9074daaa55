import L from 'leaflet';
import 'leaflet/dist/leaflet.css';
import { useEffect, useRef, useState } from 'react';
import { config } from '../config';
import { text } from '../text';
import { clusters, gridLines, thin, type Coordinate } from './geometry';

export interface MapPoint extends Coordinate {
  id: string;
  /** What a screen reader says. */
  label: string;
  /** One to three characters on the point. */
  badge: string;
}

export interface MapViewProps {
  /** Where people were, as faint dots: without tiles they are the ground. */
  ground: readonly Coordinate[];
  points: readonly MapPoint[];
  /** Ids of the points that stand out. */
  selected: readonly string[];
  onSelect: (ids: string[]) => void;
  /** What a group of points is called. */
  clusterLabel: (points: MapPoint[]) => string;
  /** The way of a whole day. */
  track?: readonly Coordinate[];
  /** The last part of the way, up to now. */
  trail?: readonly Coordinate[];
  /** Where the person is now. */
  position?: Coordinate | null;
  /** Changes when everything should be brought into view. */
  fitKey: string;
}

/** Pixels within which points become one. */
const CLUSTER_PX = 30;
const GRID_PX = 56;
/** Ground dots stand for squares of this many metres. */
const GROUND_M = 2;
const MAX_ZOOM = 23;

const at = (coordinate: Coordinate): L.LatLngTuple => [coordinate.latitude, coordinate.longitude];

function createMap(element: HTMLElement): L.Map {
  const map = L.map(element, {
    zoomControl: false,
    attributionControl: false,
    maxZoom: MAX_ZOOM,
    zoomSnap: 0.25,
    zoomDelta: 1,
    // A page that scrolls must not be caught by the map; it listens to the wheel once it is used.
    scrollWheelZoom: false,
    worldCopyJump: true,
  }).setView([0, 0], 2);
  L.control.zoom({ position: 'topright', zoomInTitle: text.map.zoomIn, zoomOutTitle: text.map.zoomOut }).addTo(map);
  L.control.scale({ imperial: false, position: 'bottomleft' }).addTo(map);
  map.on('focus click', () => map.scrollWheelZoom.enable());
  map.on('blur mouseout', () => map.scrollWheelZoom.disable());
  const { tileUrl, attribution } = config();
  if (tileUrl !== null) {
    L.control.attribution({ prefix: false }).addTo(map);
    L.tileLayer(tileUrl, { maxZoom: MAX_ZOOM, maxNativeZoom: 19, attribution: attribution ?? '' }).addTo(map);
  }
  return map;
}

/** Lines of round metres, so that a plain ground shows sizes. */
function drawGrid(map: L.Map, layer: L.LayerGroup, origin: Coordinate) {
  layer.clearLayers();
  const bounds = map.getBounds().pad(0.5);
  const size = map.getSize();
  const middle = map.containerPointToLatLng(size.divideBy(2));
  const right = map.containerPointToLatLng(size.divideBy(2).add([100, 0]));
  const box = {
    south: Math.max(bounds.getSouth(), -85),
    west: bounds.getWest(),
    north: Math.min(bounds.getNorth(), 85),
    east: bounds.getEast(),
  };
  const { latitudes, longitudes } = gridLines(box, origin, middle.distanceTo(right) / 100, GRID_PX);
  const line = (from: L.LatLngTuple, to: L.LatLngTuple) =>
    L.polyline([from, to], { className: 'map-grid', interactive: false, weight: 1 }).addTo(layer);
  for (const latitude of latitudes) line([latitude, box.west], [latitude, box.east]);
  for (const longitude of longitudes) line([box.south, longitude], [box.north, longitude]);
}

/** So that the number of a large group fits. */
function sizeOf(count: number): [number, number] {
  const side = count < 100 ? 30 : count < 1_000 ? 38 : 48;
  return [side, side];
}

const WALK: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** One stop for the tabulator, however many points there are; the arrow keys go from one to the next. */
function rove(elements: readonly HTMLElement[], current: HTMLElement | undefined) {
  for (const element of elements) element.tabIndex = element === current ? 0 : -1;
}

/** The one that the key leads to. */
function walk(elements: readonly HTMLElement[], from: HTMLElement, key: string): HTMLElement | undefined {
  if (key === 'Home') return elements[0];
  if (key === 'End') return elements.at(-1);
  const step = WALK[key];
  return step === undefined ? undefined : elements[Math.max(elements.indexOf(from) + step, 0)];
}

function drawPoints(map: L.Map, layer: L.LayerGroup, props: MapViewProps) {
  // The focus stays on the point that was chosen, though its element is made anew.
  const focused = (document.activeElement as HTMLElement | null)?.dataset.ids;
  layer.clearLayers();
  const elements: HTMLElement[] = [];
  const placed = props.points.map((item) => {
    const { x, y } = map.latLngToLayerPoint(at(item));
    return { item, x, y };
  });
  for (const { items } of clusters(placed, CLUSTER_PX)) {
    const first = items[0];
    if (!first) continue;
    const chosen = items.some((item) => props.selected.includes(item.id));
    const face = document.createElement('span');
    face.textContent = items.length === 1 ? first.badge : `${items.length}×`;
    const marker = L.marker(at(first), {
      icon: L.divIcon({
        className: `map-point${items.length > 1 ? ' map-cluster' : ''}${chosen ? ' map-chosen' : ''}`,
        html: face,
        iconSize: sizeOf(items.length),
      }),
      zIndexOffset: chosen ? 1_000 : 0,
    });
    const choose = () => {
      props.onSelect(items.map((item) => item.id));
    };
    marker.on('click', choose);
    layer.addLayer(marker);
    const element = marker.getElement();
    if (!element) continue;
    element.dataset.ids = items.map((item) => item.id).join(' ');
    element.setAttribute('aria-label', items.length === 1 ? first.label : props.clusterLabel(items));
    element.setAttribute('aria-pressed', String(chosen));
    element.addEventListener('keydown', (event) => {
      const next = walk(elements, element, event.key);
      if (event.key !== 'Enter' && event.key !== ' ' && !next) return;
      event.preventDefault();
      event.stopPropagation();
      if (next) next.focus();
      else choose();
    });
    element.addEventListener('focus', () => {
      rove(elements, element);
    });
    elements.push(element);
  }
  const held = elements.find((element) => element.dataset.ids === focused);
  rove(elements, held ?? elements.find((element) => element.getAttribute('aria-pressed') === 'true') ?? elements[0]);
  held?.focus({ preventScroll: true });
}

interface Layers {
  map: L.Map;
  grid: L.LayerGroup;
  ground: L.LayerGroup;
  track: L.Polyline;
  trail: L.Polyline;
  points: L.LayerGroup;
  position: L.CircleMarker;
}

function createLayers(element: HTMLElement): Layers {
  const map = createMap(element);
  const group = () => L.layerGroup().addTo(map);
  const pane = map.getPane('markerPane');
  pane?.setAttribute('role', 'group');
  pane?.setAttribute('aria-label', text.map.points);
  const line = (className: string) => L.polyline([], { className, interactive: false, smoothFactor: 1.5 }).addTo(map);
  return {
    map,
    grid: group(),
    ground: group(),
    track: line('map-track'),
    trail: line('map-trail'),
    points: group(),
    position: L.circleMarker([0, 0], { className: 'map-position', radius: 9, interactive: false }),
  };
}

/** A map that needs no tiles: a grid of metres, the places where people were, and the points to tap. */
export default function MapView(props: MapViewProps) {
  const element = useRef<HTMLDivElement>(null);
  const [layers, setLayers] = useState<Layers | null>(null);
  const { ground, points, track, trail, position, fitKey } = props;

  useEffect(() => {
    if (!element.current) return;
    const created = createLayers(element.current);
    setLayers(created);
    const resized = new ResizeObserver(() => created.map.invalidateSize({ animate: false }));
    resized.observe(element.current);
    return () => {
      resized.disconnect();
      created.map.remove();
      setLayers(null);
    };
  }, []);

  const origin = ground[0] ?? points[0];
  const anything = origin !== undefined;
  useEffect(() => {
    if (!layers || !anything) return;
    const all = [...ground, ...points].map(at);
    layers.map.fitBounds(L.latLngBounds(all), { padding: [28, 28], maxZoom: 21, animate: false });
    // Only what fitKey stands for brings the view back: not every point that arrives.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [layers, fitKey, anything]);

  const originKey = origin ? `${origin.latitude} ${origin.longitude}` : '';
  useEffect(() => {
    if (!layers || !origin) return;
    const draw = () => {
      drawGrid(layers.map, layers.grid, origin);
    };
    draw();
    layers.map.on('moveend', draw);
    return () => {
      layers.map.off('moveend', draw);
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the same place is often another object
  }, [layers, originKey]);

  useEffect(() => {
    if (!layers) return;
    layers.ground.clearLayers();
    for (const coordinate of thin(ground, GROUND_M))
      L.circleMarker(at(coordinate), { className: 'map-ground', radius: 2, interactive: false }).addTo(layers.ground);
  }, [layers, ground]);

  useEffect(() => {
    layers?.track.setLatLngs((track ?? []).map(at));
  }, [layers, track]);

  useEffect(() => {
    layers?.trail.setLatLngs((trail ?? []).map(at));
  }, [layers, trail]);

  useEffect(() => {
    if (!layers) return;
    if (position) layers.position.setLatLng(at(position)).addTo(layers.map);
    else layers.position.remove();
  }, [layers, position]);

  const latest = useRef(props);
  useEffect(() => {
    latest.current = props;
  });
  const chosen = props.selected.join(' ');
  useEffect(() => {
    if (!layers) return;
    const draw = () => {
      drawPoints(layers.map, layers.points, latest.current);
    };
    draw();
    const one = chosen === '' ? undefined : latest.current.points.find(({ id }) => id === chosen.split(' ')[0]);
    if (one && !layers.map.getBounds().contains(at(one))) layers.map.panTo(at(one), { animate: false });
    layers.map.on('zoomend', draw);
    return () => {
      layers.map.off('zoomend', draw);
    };
  }, [layers, points, chosen]);

  return <div ref={element} className="map" role="region" aria-label={text.map.label} />;
}
